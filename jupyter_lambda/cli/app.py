"""``jupyter lambda``: names the subcommands and starts one."""

from __future__ import annotations

import difflib

from .command import EXIT_USAGE, LambdaCommand

#: Named, not imported: each command loads only what it needs.
_HERE = "jupyter_lambda.cli."


class LambdaApp(LambdaCommand):
    """AWS Lambda inside the notebook: the engine and what it runs."""

    name = "jupyter-lambda"
    description = """AWS Lambda inside the notebook: the engine and what it runs.

    The notebook and the Jupyter server start an engine by themselves; these commands are for terminals, scripts and
    whoever wants to look."""
    examples = """
    jupyter lambda start                         # an engine in the background
    eval "$(jupyter lambda env)"                 # any AWS tool now uses it
    aws lambda list-functions
    jupyter lambda invoke clean -p '{"n": 3}'
    jupyter lambda logs clean -f
    """
    words = (0, 1)
    subcommands = {
        "serve": (_HERE + "serve.ServeCommand", "Run an engine in the foreground."),
        "start": (_HERE + "lifecycle.StartCommand", "Start an engine in the background."),
        "service": (_HERE + "service.ServiceCommand", "Leave an engine running: a systemd user unit."),
        "stop": (_HERE + "lifecycle.StopCommand", "Stop the engine; work in flight finishes first."),
        "status": (_HERE + "lifecycle.StatusCommand", "Show the engine and what it does."),
        "env": (_HERE + "lifecycle.EnvCommand", "Print shell exports that make any AWS tool use the engine."),
        "doctor": (_HERE + "doctor.DoctorCommand", "Check Docker, limits, disk and Python, and say what to do."),
        "list": (_HERE + "functions.ListCommand", "List functions with their counts, errors, GB-seconds and price."),
        "invoke": (_HERE + "functions.InvokeCommand", "Invoke a function."),
        "bill": (_HERE + "bill.BillCommand", "Show what functions would have cost on AWS, by function and day."),
        "logs": (_HERE + "logs.LogsCommand", "Show or follow a function's log."),
        "runs": (_HERE + "runs.RunsCommand", "Show what notebook jobs did, and save what they left."),
        "trigger": (_HERE + "triggers.TriggerCommand", "Add, remove, list, pause or fire what fires a function."),
        "simulate": (_HERE + "simulate.SimulateCommand", "Try the pool policy in simulated time, with a picture."),
    }

    def start(self) -> None:
        """Hand over to the subcommand; without one, say which there are."""
        if self.subapp is not None:
            self.subapp.start()
            return
        if self.extra_args:
            word = self.extra_args[0]
            near = difflib.get_close_matches(word, self.subcommands, 1)
            self.fail(
                f"there is no command {word!r}"
                + (f"; did you mean {near[0]!r}?" if near else "")
                + f" Commands: {', '.join(self.subcommands)}",
                EXIT_USAGE,
            )
        self.print_help()
        self.exit(EXIT_USAGE)
