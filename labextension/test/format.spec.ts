import { callLine, clock, count, cut, duration, IWords, until } from '../src/format';

const words: IWords = {
  __: (text, ...values) => text.replace(/%(\d)/g, (_, n) => String(values[Number(n) - 1]))
};

test.each([
  [0, '0'],
  [999, '999'],
  [1000, '1k'],
  [12_345, '12.3k'],
  [123_456, '123k'],
  [999_949, '1000k'],
  [999_950, '1M'],
  [4_200_000, '4.2M']
])('count %d is %s', (value, text) => expect(count(value)).toBe(text));

test.each([
  [0, '0 ms'],
  [0.42, '0.4 ms'],
  [9.94, '9.9 ms'],
  [9.96, '10 ms'],
  [999.4, '999 ms'],
  [999.6, '1 s'],
  [3210, '3.2 s'],
  [59_940, '59.9 s'],
  [60_000, '1 min'],
  [125_000, '2 min 5 s']
])('duration %d is %s', (ms, text) => expect(duration(ms)).toBe(text));

test.each([
  [99, 'now'],
  [100, 'now'],
  [159, 'in 59 s'],
  [160, 'in 1 min'],
  [100 + 3599, 'in 60 min'],
  [100 + 3600, 'in 1 h'],
  [100 + 86_400 * 2, 'in 2 days']
])('until %d is %s', (when, text) => expect(until(when, 100, words)).toBe(text));

test('the clock has a date where it is not today', () => {
  const now = new Date(2026, 10, 25, 9, 0).getTime() / 1000;
  expect(clock(now + 3600, now, 'en-GB')).toBe('10:00');
  expect(clock(now + 86_400, now, 'en-GB')).toBe('26 Nov 09:00');
});

test('a call is one line of a notebook', () => {
  expect(callLine('clean', '{}')).toBe('r = %lambda invoke clean {}');
  expect(callLine('clean', '{\n  "n": 3\n}')).toBe('r = %lambda invoke clean { "n": 3 }');
  expect(callLine('clean', ' ')).toBe('r = %lambda invoke clean {}');
});

test('texts are cut', () => {
  expect(cut('abc', 3)).toBe('abc');
  expect(cut('abcd', 3)).toBe('ab…');
});
