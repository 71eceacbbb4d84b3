/**
 * @file Writes the rows of a Parquet file to the standard output as JSON Lines. A program of its
 * own, since DuckDB answers later and tasks are made at once; the file's bytes stay out of this
 * process.
 */
import { DuckDBInstance } from '@duckdb/node-api';

const [file] = process.argv.slice(2);
const MAX_ROWS = 5_000_000;

try {
  const instance = await DuckDBInstance.create(':memory:', {
    threads: '2',
    memory_limit: '1200MB',
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  });
  const connection = await instance.connect();
  const name = file.replaceAll("'", "''");
  // Words of JSON, so that big integers keep their digits.
  const result = await connection.stream(
    `SELECT to_json(t)::VARCHAR AS line FROM read_parquet('${name}') t LIMIT ${MAX_ROWS}`,
  );
  for (
    let chunk = await result.fetchChunk();
    chunk && chunk.rowCount > 0;
    chunk = await result.fetchChunk()
  ) {
    const lines = chunk.getRows().map(([line]) => `${line}\n`);
    if (!process.stdout.write(lines.join('')))
      await new Promise((resolve) => process.stdout.once('drain', resolve));
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message.split('\n')[0]}\n`);
  process.exitCode = 1;
}
