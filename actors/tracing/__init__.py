"""Following packets at an operator's wish: what to look for, and the book of what was seen."""
