/** Numbers, times and calls as people read them. Pure: no JupyterLab, no clock of its own. */

/** What sentences are made with; JupyterLab's TranslationBundle is one. */
export interface IWords {
  __(text: string, ...values: (string | number)[]): string;
}

/** 950 → "950", 12345 → "12.3k". */
export function count(value: number): string {
  if (value < 1000) {
    return String(value);
  }
  const [scaled, unit] = value < 999_950 ? [value / 1000, 'k'] : [value / 1_000_000, 'M'];
  return `${scaled < 99.95 ? scaled.toFixed(1).replace(/\.0$/, '') : Math.round(scaled)}${unit}`;
}

/** Milliseconds: "0.4 ms", "12 ms", "3.2 s", "2 min 5 s". */
export function duration(ms: number): string {
  if (ms < 9.95) {
    return `${ms.toFixed(1).replace(/\.0$/, '')} ms`;
  }
  if (ms < 999.5) {
    return `${Math.round(ms)} ms`;
  }
  if (ms < 59_950) {
    return `${(ms / 1000).toFixed(1).replace(/\.0$/, '')} s`;
  }
  const seconds = Math.round(ms / 1000);
  return seconds % 60 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : `${seconds / 60} min`;
}

/** How long until a moment, in the largest unit that says it well. Times in seconds since the epoch. */
export function until(whenS: number, nowS: number, words: IWords): string {
  const left = Math.round(whenS - nowS);
  if (left <= 0) {
    return words.__('now');
  }
  if (left < 60) {
    return words.__('in %1 s', left);
  }
  if (left < 3600) {
    return words.__('in %1 min', Math.round(left / 60));
  }
  if (left < 48 * 3600) {
    return words.__('in %1 h', Math.round(left / 3600));
  }
  return words.__('in %1 days', Math.round(left / 86_400));
}

/** The wall clock of a moment: the time alone for the next 18 hours, else with its date. */
export function clock(whenS: number, nowS: number, locale?: string): string {
  const date = new Date(whenS * 1000);
  const time = date.toLocaleTimeString(locale, { hour: '2-digit', minute: '2-digit' });
  if (Math.abs(whenS - nowS) < 18 * 3600) {
    return time;
  }
  return `${date.toLocaleDateString(locale, { day: 'numeric', month: 'short' })} ${time}`;
}

/** The line that a notebook calls a function with. */
export function callLine(name: string, event: string): string {
  return `r = %lambda invoke ${name} ${event.replace(/\s*\n\s*/g, ' ').trim() || '{}'}`;
}

/** A text cut to so many characters. */
export function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
