#!/bin/sh
# Install Thebe into .venv/live, in the version that package-lock.json pins. Its dependencies
# aren't needed because its folder lib/ is a bundle that contains them.
set -eu

stop() { echo "make: $1; 'make lab' works without npm." >&2; exit 1; }

command -v npm >/dev/null || stop "npm is missing; it comes with Node.js"
rm -rf .venv/live
mkdir -p .venv/live
cp tools/live/package*.json .venv/live
cd .venv/live
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null ||
	stop "npm couldn't install Thebe"
touch installed
