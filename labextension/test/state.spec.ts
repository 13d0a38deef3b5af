import { BAR_S, Bars, BARS, ILiveEvent, IMessage, State } from '../src/state';

const NOW = 1_000_000;
const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0);

function ended(name: string, values: Partial<ILiveEvent> = {}): ILiveEvent {
  return { kind: 'ended', function: name, status: 'success', cold: false, run_ms: 2, ...values };
}

function begun(): State {
  const state = new State();
  const reset: IMessage = {
    seq: 4,
    epoch: 'e1',
    reset: {
      at_s: NOW,
      engine: { driver: 'docker', isolated: true, region: 'us-east-1', draining: false },
      running: { f: 1 },
      totals: { f: { invocations: 5, errors: 1, throttles: 0, cold: 2 } }
    }
  };
  expect(state.take(reset, NOW)).toEqual({ functions: true, schedules: true, snapshotS: NOW });
  state.list([
    { FunctionName: 'g', Description: 'makes Thumbnails' },
    { FunctionName: 'f', MemorySize: 128, Timeout: 3 }
  ]);
  return state;
}

test('a snapshot, a list and changes make rows', () => {
  const state = begun();
  const events = [ended('f'), ended('f', { status: 'timeout' }), ended('g', { cold: true })];
  state.take({ seq: 7, events, running: { f: 0 } }, NOW);
  const [f, g] = state.rows();
  expect([f.name, g.name]).toEqual(['f', 'g']);
  expect(f).toMatchObject({ invocations: 7, errors: 2, cold: 2, running: 0, lastFailed: true, memoryMb: 128 });
  expect(g).toMatchObject({ invocations: 1, errors: 0, cold: 1, lastFailed: false });
  expect([state.seq, state.epoch]).toEqual([7, 'e1']);
});

test('sums count as much as single changes', () => {
  const state = begun();
  state.take({ seq: 400, sums: { f: { ended: 300, errors: 3, cold: 1, throttled: 9 } }, running: { f: 12 } }, NOW);
  const [f] = state.rows();
  expect(f).toMatchObject({ invocations: 305, errors: 4, cold: 3, throttles: 9, running: 12, lastFailed: false });
  expect(sum(f.bars.at(NOW).counts)).toBe(300);
  expect(sum(f.bars.at(NOW).errors)).toBe(3);
});

test('a snapshot replaces what was counted before', () => {
  const state = begun();
  state.take({ seq: 5, events: [ended('f'), ended('f')] }, NOW);
  const totals = { f: { invocations: 1, errors: 0, throttles: 0, cold: 1 } };
  state.take({ seq: 9, epoch: 'e2', reset: { at_s: NOW, engine: state.engine!, running: {}, totals } }, NOW);
  expect(state.rows()[0]).toMatchObject({ invocations: 1, running: 0 });
  expect(sum(state.rows()[0].bars.at(NOW).counts)).toBe(0);
  expect(state.epoch).toBe('e2');
});

test('what failed through no fault of the function is not counted', () => {
  const state = begun();
  state.take({ seq: 5, events: [ended('f', { status: 'system' })] }, NOW);
  expect(state.rows()[0]).toMatchObject({ invocations: 5, errors: 1 });
});

test('changes say what must be asked for', () => {
  const state = begun();
  const none = { functions: false, schedules: false, snapshotS: null };
  expect(state.take({ seq: 5, events: [ended('f')] }, NOW)).toEqual(none);
  const made: ILiveEvent = { kind: 'function', function: 'h', change: 'created' };
  expect(state.take({ seq: 6, events: [made] }, NOW)).toEqual({ ...none, functions: true });
  expect(state.take({ seq: 7, events: [{ kind: 'schedules' }] }, NOW)).toEqual({ ...none, schedules: true });
});

test('the ledger fills sparklines with what ended before the snapshot only', () => {
  const state = begun();
  const record = { function_name: 'f', status: 'error', started_s: NOW - 20, received_s: NOW - 20, run_ms: 1000 };
  state.fill([record, { ...record, started_s: NOW }, { ...record, function_name: 'gone' }], NOW);
  expect(sum(state.rows()[0].bars.at(NOW).errors)).toBe(1);
  expect(state.rows()[0].lastFailed).toBe(true);
  state.take({ seq: 5, events: [ended('f')] }, NOW);
  state.fill([record], NOW);
  expect(state.rows()[0].lastFailed).toBe(false);
});

test('what is not listed is not shown, and what is gone goes', () => {
  const state = begun();
  state.take({ seq: 5, events: [ended('new')] }, NOW);
  expect(state.rows().map(row => row.name)).toEqual(['f', 'g']);
  state.list([{ FunctionName: 'g' }]);
  expect(state.rows().map(row => row.name)).toEqual(['g']);
});

test('the search looks for all words in names and descriptions', () => {
  const state = begun();
  expect(state.rows('thumb G').map(row => row.name)).toEqual(['g']);
  expect(state.rows('thumb f')).toEqual([]);
});

test('nothing runs where no engine runs', () => {
  const state = begun();
  const keeper = { message: '', driver: 'docker', isolated: true };
  state.take({ keeper: { ...keeper, state: 'ready' } }, NOW);
  expect([state.ready, state.running]).toEqual([true, 1]);
  state.take({ keeper: { ...keeper, state: 'stopped' } }, NOW);
  expect([state.ready, state.running]).toEqual([false, 0]);
});

test('an engine that drains says so', () => {
  const state = begun();
  state.take({ seq: 5, events: [{ kind: 'engine', state: 'draining' }] }, NOW);
  expect(state.engine?.draining).toBe(true);
});

test('functions that are heard of take no end of memory', () => {
  const state = begun();
  for (let i = 0; i < 5000; i++) {
    state.take({ seq: 5 + i, events: [ended(`x${i}`)] }, NOW);
  }
  expect(state.rows().map(row => row.name)).toEqual(['f', 'g']);
  expect((state as unknown as { _rows: Map<string, unknown> })._rows.size).toBeLessThanOrEqual(2000);
});

test('bars move on with time and forget', () => {
  const bars = new Bars();
  bars.add(NOW, 3, 1);
  bars.add(NOW + BAR_S, 2, 0);
  bars.add(NOW - BAR_S, 1, 1);
  expect(bars.at(NOW + BAR_S).counts.slice(-3)).toEqual([1, 3, 2]);
  expect(bars.at(NOW + BAR_S).errors.slice(-3)).toEqual([1, 1, 0]);
  expect(bars.at(NOW + 2 * BAR_S).counts.slice(-4)).toEqual([1, 3, 2, 0]);
  bars.add(NOW - BARS * BAR_S, 9, 9);
  expect(sum(bars.at(NOW + 2 * BAR_S).counts)).toBe(6);
  expect(sum(bars.at(NOW + 10 * BARS * BAR_S).counts)).toBe(0);
});
