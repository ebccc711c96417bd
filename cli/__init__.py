"""The `ayatori` command: its subcommands, the lab, and how commands fail."""
