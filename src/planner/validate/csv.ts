/**
 * @file Comma-separated values (RFC 4180) with a header line, as a table of strings.
 */
import { UserError } from '../../base/errors.js';

export type Row = Readonly<Record<string, string>>;

export interface Table {
  columns: string[];
  rows: Row[];
}

/**
 * @throws UserError when there is no header, a quote is never closed, or a line has more fields
 * than the header
 */
export function parseCsv(text: string, name = 'rows'): Table {
  const records = split(text.replace(/^\uFEFF/, ''), name);
  const columns = (records.shift() ?? []).map((column) => column.trim());
  if (columns.length < 2)
    throw new UserError(
      'data',
      `${name}: no header line; the first line must name the columns, with commas`,
      name,
    );
  const rows = records.map((fields, index) => {
    if (fields.length > columns.length) {
      throw new UserError(
        'data',
        `${name}: row ${index + 1} has ${fields.length} fields for ${columns.length} columns; quote commas`,
        name,
      );
    }
    return Object.fromEntries(columns.map((column, i) => [column, (fields[i] ?? '').trim()]));
  });
  return { columns, rows };
}

function split(text: string, name: string): string[][] {
  const records: string[][] = [];
  let record: string[] = [];
  let field = '';
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (quoted) {
      if (character !== '"') field += character;
      else if (text[i + 1] === '"') field += text[i++];
      else quoted = false;
    } else if (character === '"' && field === '') quoted = true;
    else if (character === ',') {
      record.push(field);
      field = '';
    } else if (character === '\n') {
      record.push(field.replace(/\r$/, ''));
      if (record.length > 1 || record[0] !== '') records.push(record);
      record = [];
      field = '';
    } else field += character;
  }
  if (quoted)
    throw new UserError('data', `${name}: a quote in row ${records.length} is never closed`, name);
  if (field !== '' || record.length > 0) records.push([...record, field]);
  return records;
}
