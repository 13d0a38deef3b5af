"""What can be written after ``%lambda notebook`` and ``%lambda runs``."""

from __future__ import annotations

import argparse

from jupyter_lambda.model import limits

#: What a job gets that doesn't say: a kernel with pandas takes some 300 MB, and a report may take its time.
MEMORY_MB, TIMEOUT_S = 1024, limits.TIMEOUT_MAX_S
KEPT = 30


def notebook(parser: argparse.ArgumentParser) -> None:
    """``%lambda notebook FILE …``"""
    from jupyter_lambda.notebook import options

    parser.epilog = (
        "Parameters are papermill's: they are set in a cell of their own after the one tagged `parameters`. A run may "
        "take 15 minutes at most, which is AWS Lambda's limit. `%lambda runs` shows what came of each."
    )
    parser.add_argument("file", metavar="FILE", help="the notebook: report.ipynb")
    parser.add_argument(
        "--schedule",
        nargs="+",
        action="extend",
        metavar="WORDS",
        help="when it runs: 'cron:0 9 ? * MON-FRI *@Europe/London', 'rate:1 hour', at:2026-12-01T09:00",
    )
    parser.add_argument(
        "-p",
        "--parameter",
        action="append",
        metavar="NAME=VALUE",
        help="a parameter: JSON, $var, or plain text; may be given several times",
    )
    parser.add_argument("--run", action="store_true", help="run it now as well, and wait until it is done")
    parser.add_argument("--name", type=options.function_name, metavar="NAME", help="the job's name (default: FILE's)")
    parser.add_argument(
        "--memory", type=options._memory, metavar="MB", help=f"memory: 512, or 2GB (default {MEMORY_MB})"
    )
    parser.add_argument(
        "--timeout", type=options._timeout, metavar="SECONDS", help="longest run: 60, 60s or 5m (default 15m, the most)"
    )
    parser.add_argument(
        "--env", action="append", metavar="K=V", help="environment variable; may be given several times; V may be $var"
    )
    parser.add_argument("--network", choices=("none", "egress"), help="none: no network but the AWS endpoint")
    parser.add_argument("--pip", nargs="+", action="extend", metavar="PKG", help="packages beyond this notebook's own")
    parser.add_argument("-r", "--requirements", metavar="FILE", help="packages from a requirements file")
    parser.add_argument(
        "--with",
        dest="more",
        nargs="+",
        action="extend",
        metavar="PATH",
        help="data files or folders beside the notebook that it reads; modules it imports come along by themselves",
    )
    parser.add_argument("--no-code", action="store_true", help="pages show what cells gave, not their code")
    parser.add_argument(
        "--on-failure", metavar="FUNCTION", help="function (or ARN of a queue, topic or bus) that is told of failures"
    )
    parser.add_argument(
        "--retries", type=int, choices=(0, 1, 2), default=0, help="further tries of a run that failed (default 0)"
    )
    parser.add_argument(
        "--keep", type=options._positive, default=KEPT, metavar="N", help=f"runs that are kept (default {KEPT})"
    )


def runs(parser: argparse.ArgumentParser) -> None:
    """``%lambda runs [JOB] …``"""
    from jupyter_lambda.notebook import options

    parser.add_argument("name", nargs="?", metavar="JOB", help="only this job's (default: all)")
    parser.add_argument(
        "--open", type=options._positive, metavar="N", help="show what run N made, as a page; 1 is the newest"
    )
    parser.add_argument(
        "--save", nargs=2, metavar=("N", "FOLDER"), help="save all that run N left: notebook, page, log, parameters"
    )
    parser.add_argument("--log", type=options._positive, metavar="N", help="show the log of run N")
    parser.add_argument("--limit", type=options._positive, default=20, metavar="N", help="runs shown (default 20)")
    parser.add_argument("--forget", action="store_true", help="remove all that the job's runs left behind")
