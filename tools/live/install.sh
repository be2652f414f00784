#!/bin/sh
# Puts Thebe, as package-lock.json pins it, into .venv/live. Its own dependencies stay
# away, since its lib/ is a bundle that holds them.
set -u
log=.venv/live/install.log

stop() { echo "make: $1" >&2; exit 1; }

command -v npm >/dev/null ||
	stop "no npm found, which 'make live' needs: install it with Node.js, or run 'make lab' instead."
rm -rf .venv/live
mkdir -p .venv/live && cp tools/live/package*.json .venv/live || stop "cannot write to $(pwd)/.venv."

(cd .venv/live && npm ci --ignore-scripts --no-audit --no-fund) >"$log" 2>&1 || {
	case "$(cat "$log")" in
	*EINTEGRITY*) why="Thebe differs from its hash in tools/live/package-lock.json" ;;
	*ENOTFOUND* | *EAI_AGAIN* | *ECONN* | *TIMEDOUT* | *"network "*) why="npm's registry was not reached: check the network, a proxy or npm's settings" ;;
	*ENOSPC*) why="the disk is full" ;;
	*) why="npm could not install Thebe" ;;
	esac
	stop "$why; 'make lab' does without (details: $log)."
}
touch .venv/live/installed
