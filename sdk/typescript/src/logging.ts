// Log lines without secrets.

/** The levels of ASP.NET Core. */
export const logLevels = ['Trace', 'Debug', 'Information', 'Warning', 'Error', 'Critical', 'None'] as const;

/** A level of ASP.NET Core. */
export type LogLevel = (typeof logLevels)[number];

/** Where log lines go: `console`, or what most logging libraries give. */
export interface Logger {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

const secrets: [RegExp, string][] = [
  [/(\b(?:access_token|api_key|id|sig)=)[^&\s"')]+/gi, '$1***'],
  [/(\bBearer\s+)[^\s"',]+/gi, '$1***'],
  [/\b(?:condt|ek)_[A-Za-z0-9+/_=-]{8,}/g, '***'],
  [/("(?:connectionToken|connectionId|accessToken|apiKey)"\s*:\s*")[^"]*/gi, '$1***'],
];

/** redact blots out keys, tokens and signatures. */
export function redact(text: string, key?: string): string {
  let clean = key && key.length > 3 ? text.replaceAll(key, '***').replaceAll(encodeURIComponent(key), '***') : text;
  for (const [pattern, by] of secrets) clean = clean.replace(pattern, by);
  return clean;
}

/** Log writes lines at or above a level, redacted. */
export class Log {
  /** The key that lines must not show, as far as it is known. */
  key: string | undefined;

  constructor(
    private readonly logger: Logger,
    private readonly level: LogLevel,
    /** Requests and answers are told too, whatever the level. */
    readonly debug: boolean,
  ) {}

  write(level: LogLevel, message: string): void {
    if (level !== 'None' && logLevels.indexOf(level) >= logLevels.indexOf(this.level)) this.put(level, message);
  }

  /** traffic tells a request or an answer, if debug asks for that. */
  traffic(message: string): void {
    if (this.debug) this.put('Debug', message);
  }

  private put(level: LogLevel, message: string): void {
    const line = `[conduit] ${redact(message, this.key)}`;
    try {
      if (level === 'Trace' || level === 'Debug') this.logger.debug(line);
      else if (level === 'Information') this.logger.info(line);
      else if (level === 'Warning') this.logger.warn(line);
      else this.logger.error(line);
    } catch {
      // A logger that fails must not take a task's events with it.
    }
  }
}

/** say is what an unknown thrown value says. */
export function say(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
