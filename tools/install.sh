#!/bin/sh
# Makes .venv from requirements.txt with Python 3.11, the one Python that has
# both MXNet 1.9.1's NumPy and today's Jupyter. Its argument is the task that make was
# asked for, to name it in advice.
set -u
python=3.11

stop() { echo "make: $1" >&2; exit 1; }

case "$(uname -s)-$(uname -m)" in
Linux-x86_64 | Linux-aarch64)
	case "$(ldd --version 2>&1)" in
	*musl*) stop "MXNet 1.9.1 has no wheel for musl (Alpine): use a Linux with glibc, such as Debian or Ubuntu." ;;
	esac ;;
Darwin-x86_64) python=cpython-3.11-macos-x86_64 ;; # under Rosetta, too
Darwin-arm64) stop "MXNet 1.9.1 has no wheel for Apple silicon: run it with an x86-64 Python under Rosetta ('softwareupdate --install-rosetta' once, then 'arch -x86_64 make $*')." ;;
MINGW* | MSYS* | CYGWIN*) stop "MXNet 1.9.1 has no wheel for Windows: run make inside WSL ('wsl --install', then clone the book there)." ;;
*) stop "MXNet 1.9.1 has no wheel for $(uname -sm), only for Linux with glibc (x86-64, aarch64) and macOS x86-64." ;;
esac

log=.venv/install.log
mkdir -p .venv || stop "cannot write to $(pwd)."

# One at a time: a link to the number of the process that installs.
until ln -s $$ .venv/lock 2>/dev/null; do
	kill -0 "$(readlink .venv/lock)" 2>/dev/null || rm -f .venv/lock # it was killed
	[ "${waits-}" ] || echo "Waiting for another make that is installing, process $(readlink .venv/lock) ..."
	waits=yes
	sleep 1
done
trap 'rm -f .venv/lock' EXIT
trap 'stop "interrupted while installing: run make again."' INT TERM HUP
if [ "${waits-}" ] && [ .venv/installed -nt requirements.txt ]; then exit; fi

echo "Installing into .venv (0.9 GB) ..."
# What an installation left that did not end is half a package, perhaps.
again=; [ ! -e .venv/installing ] || again=--reinstall
touch .venv/installing

# A mirror that pip is set up for serves uv as well. (Asking pip takes a second.)
mirror=${PIP_INDEX_URL:-$(cat "${PIP_CONFIG_FILE:-/}" "${HOME:-}/.config/pip/pip.conf" \
	"${HOME:-}/.pip/pip.conf" /etc/pip.conf 2>/dev/null |
	awk -F ' *= *' '$1 == "index-url" { print $2; exit }')}
if [ -n "$mirror" ]; then export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$mirror}"; fi

uv=.venv/bin/uv
[ -x $uv ] || uv=$(command -v uv) || {
	uv=.venv/uv/bin/uv
	[ -x $uv ] || {
		command -v python3 >/dev/null || stop "no uv and no python3 found: install either, then run make again."
		# uv alone, as requirements.txt pins it
		awk '/^[^ #]/ { on = /^uv==/ } on' requirements.txt >.venv/uv.txt
		fetch="--quiet --disable-pip-version-check --no-compile --no-deps --require-hashes --target .venv/uv -r .venv/uv.txt"
		python3 -m pip install $fetch >"$log" 2>&1 || {
			case "$(cat "$log")" in
			*"No module named pip"*) # as in Debian, whose pip may still come with venv
				python3 -m venv .venv/pip >"$log" 2>&1 ||
					stop "python3 has neither pip nor venv: install uv, or python3-pip, then run make again."
				.venv/pip/bin/pip install $fetch >"$log" 2>&1
				;;
			*) false ;;
			esac
		} || stop "pip could not fetch uv from the package index: check the network, a proxy or pip's settings (details: $log), or install uv by hand."
	}
}

# A .venv that a system update broke, or of another Python, is made anew; rather with the
# system's Python than with one that pyenv built, as a rule without optimizations.
.venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null ||
	PATH="/usr/bin:$PATH" "$uv" venv --quiet --relocatable --allow-existing --python "$python" .venv >"$log" 2>&1 ||
	stop "no Python 3.11 here, and uv could not fetch one: install it (from your system, pyenv or conda), then run make again (details: $log)."

"$uv" pip sync --quiet $again --require-hashes --python .venv/bin/python requirements.txt >"$log" 2>&1 || {
	case "$(cat "$log")" in
	*ash\ mismatch*) why="a package differs from its hash in requirements.txt: take the lock from a clean checkout, or run 'make lock'" ;;
	*"peer certificate"*) why="the package index's certificate is not trusted here: run again with UV_SYSTEM_CERTS=true, or set SSL_CERT_FILE to your network's certificates" ;;
	*"ailed to fetch"* | *"rror sending request"* | *"ailed to download"*) why="the package index was not reached: check the network or a proxy, then run make again" ;;
	*"no wheels with"* | *"no usable wheels"*) why="a package has no wheel for this system: see README.md for what is supported" ;;
	*"o space left"*) why="the disk is full: the environment takes 0.9 GB" ;;
	*) why="the packages could not be installed" ;;
	esac
	stop "$why (details: $log)."
}

rm -rf .venv/pip .venv/uv .venv/uv.txt .venv/installing
touch .venv/installed

# What each page's kernel imports first, compiled while the pages are being read.
cd .venv/lib/python3.11/site-packages && ../../../bin/python -m compileall -q -x 'tests|numpy/(distutils|f2py)|mxnet/tools' \
	ipykernel IPython numpy mxnet matplotlib sphinx docutils </dev/null >/dev/null 2>&1 &
