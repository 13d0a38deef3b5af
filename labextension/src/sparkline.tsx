import * as React from 'react';

const HEIGHT = 16;
const BAR = 3;

/** Invocations of the last minutes as bars, their errors in the error colour; decoration beside numbers in words. */
export function Sparkline(props: { counts: number[]; errors: number[] }): JSX.Element {
  const { counts, errors } = props;
  const most = Math.max(1, ...counts);
  const height = (value: number): number => (value ? Math.max(1.5, (value / most) * HEIGHT) : 0);
  return (
    <svg
      className="jp-LambdaSparkline"
      width={counts.length * BAR}
      height={HEIGHT}
      viewBox={`0 0 ${counts.length * BAR} ${HEIGHT}`}
      aria-hidden="true"
    >
      <line x1={0} x2={counts.length * BAR} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} className="jp-LambdaSparkline-base" />
      {counts.map((value, i) => {
        const [all, failed] = [height(value), value ? (height(value) * errors[i]) / value : 0];
        return value ? (
          <g key={i}>
            <rect
              x={i * BAR}
              width={BAR - 1}
              y={HEIGHT - all}
              height={all - failed}
              className="jp-LambdaSparkline-ok"
            />
            {failed > 0 && (
              <rect
                x={i * BAR}
                width={BAR - 1}
                y={HEIGHT - failed}
                height={failed}
                className="jp-LambdaSparkline-error"
              />
            )}
          </g>
        ) : null;
      })}
    </svg>
  );
}
