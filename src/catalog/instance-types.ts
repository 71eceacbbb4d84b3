/**
 * @file Which accelerators a cloud machine has, by its instance type; patterns that find a type in
 * the text of a billing export.
 */
import { CLOUDS } from './data/instance-types.js';

export interface Machine {
  cloud: string;
  type: string;
  accelerator: string;
  count: number;
  source: string;
  date: string;
  /** True where the row was never compared with its source. */
  recalled: boolean;
}

/** `Standard_ND96asr_v4` and `ND96asr v4` are one type. */
const plain = (type: string): string =>
  type
    .toLowerCase()
    .replace(/^(standard|ml)[ _.]/, '')
    .replaceAll('_', ' ');

const MACHINES = new Map(
  Object.entries(CLOUDS).flatMap(([cloud, { lists }]) =>
    lists.flatMap(({ source, date, recalled = false, types }) =>
      Object.entries(types).map(([type, [accelerator, count]]): [string, Machine] => [
        plain(type),
        { cloud, type, accelerator, count, source, date, recalled },
      ]),
    ),
  ),
);

/** The accelerators of a machine; undefined where its type is not listed. */
export const machineOf = (type: string): Machine | undefined => MACHINES.get(plain(type.trim()));

export const machines = (): Machine[] => [...MACHINES.values()];

/** RE2: a type stands between characters that no type has. */
const whole = (alternatives: readonly string[]): string =>
  `(?i)(?:^|[^a-z0-9.])(?:ml\\.)?(?:${alternatives.join('|')})(?:$|[^a-z0-9.])`;

const all = (part: 'acceleratedSeries' | 'cpu'): string[] =>
  Object.values(CLOUDS).flatMap((cloud) => cloud[part]);

/** RE2: text that names a machine with accelerators. */
export const ACCELERATED_MACHINE = whole(all('acceleratedSeries'));
/** RE2: text that names a machine without one. */
export const CPU_MACHINE = whole(all('cpu'));

/**
 * RE2: words that name an accelerator itself. Short names that mean other things as well (T4, L4,
 * A10) are no evidence: what is one says NVIDIA or GPU beside it.
 */
export const ACCELERATOR_WORDS =
  '(?i)\\b(?:gpus?|tpus?|nvidia|a100|h[128]00|h20|b[123]00|gb[23]00|gh200|v100|p100|k80|l40s?|a10g|mi\\d{3}x?|rtx[ _a-z]*\\d{4}|trainium\\d?|inferentia\\d?|gaudi\\d?)\\b';
/** RE2: words that deny one. */
export const NO_ACCELERATOR_WORDS = '(?i)\\b(?:no|non|without)[- ]?(?:gpu|tpu|accelerator)';
/** RE2: words that name processors, where no word names an accelerator. */
export const CPU_WORDS = '(?i)\\b(?:[vo]?cpus?|core[- ]hours?)\\b';

/** RE2: what clouds bill beside machines under the category Compute: traffic and addresses. */
export const NETWORK_WORDS =
  '(?i)\\b(?:data transfers?|data processed|nat gateways?|bandwidth|load balanc\\w+|(?:elastic|public) ips?|ip address\\w*)\\b';
/** RE2: and disks. */
export const STORAGE_WORDS =
  '(?i)\\b(?:managed disks?|snapshots?|gb-mon\\w*|provisioned iops|block volumes?|persistent disks?)\\b';
