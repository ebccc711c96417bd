"""The demonstration behind `make demo`: the commands that a person would type, and checks of what they did."""
