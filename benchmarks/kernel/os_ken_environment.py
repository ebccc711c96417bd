"""os-ken for the comparison: installed into an environment of its own, when a benchmark wants it.

`python -m benchmarks.kernel.os_ken_environment`, where packages can be downloaded; not inside a kernel that
was booted for the benchmark, which has no network.
"""

import subprocess
import sys
import venv

from benchmarks.kernel.switches import OS_KEN

VERSION = "4.2.2"


def provide() -> bool:
    """Install it unless that was done; return False, having said why, if it cannot be."""
    marker = OS_KEN / f"os-ken-{VERSION}"
    if marker.exists():
        return True
    venv.create(OS_KEN, with_pip=True, clear=True)
    command = [str(OS_KEN / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    done = subprocess.run(  # noqa: S603 - pip, of a package named here
        [*command, f"os-ken=={VERSION}"], check=False, capture_output=True, text=True
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        print(f"no os-ken to compare with: {reason}", file=sys.stderr)
        return False
    marker.touch()
    return True


if __name__ == "__main__":
    sys.exit(0 if provide() else 1)
