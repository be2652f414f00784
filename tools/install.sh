#!/bin/sh
# Install requirements.txt into .venv, with the Python version that binder/runtime.txt names.
# The arguments are make's goals, for a message.
set -eu
version=$(sed s/python-// binder/runtime.txt)
python=$version

stop() { echo "make: $1" >&2; exit 1; }
no_wheel() { stop "MXNet 1.9.1 has no wheel for $1"; }

case "$(uname -sm) $(ldd --version 2>&1)" in
Linux*musl*) no_wheel "musl (Alpine): use a Linux with glibc, such as Debian or Ubuntu." ;;
"Linux x86_64"* | "Linux aarch64"*) ;;
"Darwin x86_64"*) python=cpython-$version-macos-x86_64 ;; # also under Rosetta
"Darwin arm64"*) no_wheel "Apple silicon: use a container or 'arch -x86_64 make $*'; see README.md." ;;
MINGW* | MSYS* | CYGWIN*) no_wheel "Windows: use a container or WSL; see README.md." ;;
*) no_wheel "$(uname -sm), only for Linux with glibc (x86-64, aarch64) and macOS (x86-64)." ;;
esac

trap 'stop "interrupted: run make again to finish the installation."' INT TERM HUP
mkdir -p .venv/etc/ipython
if command -v flock >/dev/null && exec 9>.venv/lock && ! flock -n 9; then # macOS has no flock
	echo "Waiting for another installation in this folder ..."
	flock 9 && [ -e .venv/installed ] && exit
fi
echo "Installing into .venv (0.9 GB) ..."
reinstall=; [ ! -e .venv/installing ] || reinstall=--reinstall # a package may be incomplete
touch .venv/installing
rm -f .venv/installed

for uv in .venv/bin/uv "$(command -v uv)" .venv/uv/bin/uv; do
	"$uv" --version >/dev/null 2>&1 && break
done || {
	if python3 -m pip --version >/dev/null 2>&1; then pip=python3
	elif python3 -m venv .venv/pip >/dev/null 2>&1; then pip=.venv/pip/bin/python # as on Debian
	else stop "found neither uv nor a python3 with pip: install one of them, then run make again."
	fi
	sed -n '/^uv==/,/#/p' requirements.txt | PIP_ROOT_USER_ACTION=ignore $pip -m pip install \
		--quiet --disable-pip-version-check --require-hashes --only-binary :all: \
		--target .venv/uv -r /dev/stdin ||
		stop "pip couldn't download uv. Fix what it reports above, or install uv yourself."
}
# uv doesn't read pip's configuration, which may name a mirror of the package index.
mirror=$(sed -n '/^index-url/{s/[^=]*= *//p;q;}' "${PIP_CONFIG_FILE:-/dev/null}" \
	~/.config/pip/pip.conf ~/.pip/pip.conf /etc/pip.conf 2>/dev/null) || true # some don't exist
export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$mirror}}"

# pyenv usually builds Python without optimizations, so look for the system's own first.
PATH="/usr/bin:$PATH" "$uv" venv --quiet --relocatable --allow-existing --python $python .venv ||
	stop "uv couldn't set up Python $version. Install Python $version, then run make again."
# Without --no-build, uv would run a package's build script if the index lacks its wheel.
"$uv" pip sync --quiet --no-build --require-hashes $reinstall --python .venv requirements.txt ||
	stop "uv couldn't install the packages. Fix what it reports above, then run make again."
cp tools/jupyter/ipython_kernel_config.py .venv/etc/ipython/
rm -rf .venv/pip .venv/uv
mv .venv/installing .venv/installed

# Compile what kernels import while make continues, which saves the first build a second.
cd .venv/lib/python*/site-packages && ../../../bin/python -m compileall -q -x tests ipykernel \
	IPython numpy mxnet matplotlib sphinx docutils </dev/null >/dev/null 2>&1 9>&- &
