"""A keeper whose agents run another program: `python keeper_with_agent.py PROGRAM OPTIONS…`.

For tests of what the lab does around its agents.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from cli.lab.keeper_main import main

    main(sys.argv[2:], (sys.executable, "-c", sys.argv[1]))
