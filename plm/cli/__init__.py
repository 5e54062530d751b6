"""The command `plm`. A command is imported when it is called, so `plm --help` costs no torch."""

from __future__ import annotations

import importlib
import os

import click

import plm
from plm.errors import PlmError, did_you_mean

# Every command and what it does: its module here, with _ for -, has it under the name `command`.
COMMANDS = {
    "convert": "Write a checkpoint of any known framework in another layout, and prove it equal.",
    "inspect": "Show what is in a checkpoint, also in one that cannot be loaded.",
    "doctor": "Examine a folder: config, weights, tokenizer and files.",
    "shrink": "Take layers, words and bits out of a model.",
    "models": "List checkpoints that are known to exist.",
    "export": "Write a model for another backend, and prove it equal.",
    "predict": "Ask a model about texts or a file.",
    "embed": "Make a vector of every text in a file.",
    "finetune": "Train a text classifier from two files.",
    "train": "Train what a TOML file describes.",
    "prepare-corpus": "Make token ids of raw text, to pretrain on.",
    "pretrain": "Pretrain what a TOML file describes.",
    "distill": "Distil a small student from its teacher, as a TOML file describes.",
    "augment": "Vary the texts of a training file.",
    "generate": "Go on with texts.",
    "poem": "Write Chinese poems in correct form.",
    "poem-evaluate": "Judge a poet beside real poems.",
    "serve": "Answer requests over HTTP with one or several models.",
    "score": "Score predictions as the official evaluators of SQuAD and CMRC do.",
    "bench": "List stored measurements, or make a report of them.",
    "env": "Show versions, for reports of problems.",
}

INTERRUPTED = 130  # what shells expect of a program that Ctrl-C ended


class Commands(click.Group):
    """A group that knows its commands by name, and tells users of errors in one line.

    PLM_DEBUG=1 shows the traceback instead.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"plm.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command for one that is not there."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}{did_you_mean(args[0], COMMANDS)} (there are: {', '.join(COMMANDS)})")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; errors of users become a message and exit status 1, Ctrl-C becomes 130."""
        try:
            return super().invoke(ctx)
        except (PlmError, OSError) as error:
            if os.environ.get("PLM_DEBUG") == "1" or isinstance(error, BrokenPipeError):
                raise
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command explains itself: plm convert --help. PLM_DEBUG=1 shows where an error comes from.",
)
@click.version_option(plm.__version__, prog_name="plm")
def main() -> None:
    """BERT, NEZHA, GPT-1 and TinyBERT from the command line."""
