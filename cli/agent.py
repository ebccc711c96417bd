"""`ayatori agent`: the agent of one host, as systemd or a lab runs it."""

from pathlib import Path
from typing import Annotated

import typer

from actors.datapath.dialogue import DatapathUnavailableError
from actors.datapath.kernel_channel import DatapathBusyError
from actors.edge.config import ConfigError, load_config
from actors.edge.control import ControlTakenError, NoPlaceForControlError
from actors.edge.datapath_choice import check_datapath
from actors.state.journal_format import JournalError
from actors.state.store.holder import OwnerTaken
from actors.state.store.interface import StoreError
from cli.errors import CommandError, ExitStatus
from supervisor import run_agent


def agent(
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="The agent's configuration (YAML).")
    ],
) -> None:
    """Run the agent of one host until it is told to stop."""
    try:
        loaded = load_config(config)
    except ConfigError as error:
        raise CommandError(str(error), ExitStatus.USAGE) from error
    try:
        check_datapath(loaded.datapath)
        status = run_agent(loaded)
    except (OwnerTaken, ControlTakenError) as error:
        raise CommandError(str(error), ExitStatus.CONFLICT) from error
    except StoreError as error:
        raise CommandError(str(error), ExitStatus.NOT_FOUND) from error
    except DatapathBusyError as error:
        raise CommandError(str(error.strerror), ExitStatus.CONFLICT) from error
    except (NoPlaceForControlError, JournalError, DatapathUnavailableError) as error:
        raise CommandError(str(error)) from error
    raise typer.Exit(status)
