#!/usr/bin/env bash
# Builds the site: guides, notebooks and API pages: scripts/build_docs.sh [FOLDER], by default
# build/docs. Open FOLDER/index.html in a browser.
set -euo pipefail

# A folder in the argument is relative to where the caller is.
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
use_environment requirements-dev.txt
folder=build/docs
if [ $# -gt 0 ]; then
    folder=$here/$1
    [ "${1#/}" = "$1" ] || folder=$1
fi
# Importing the modules imports TensorFlow, which need not look for graphics cards, and a library that
# asks `uname` for the processor.
export CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=2 PDOC_ALLOW_EXEC=1
packages=(model pipeline)
[ ! -e capuchinbird.py ] && [ ! -d capuchinbird ] || packages=(capuchinbird "${packages[@]}")
"$PYTHON" -m pdoc --docformat google --output-directory "$folder/api" "${packages[@]}"
"$PYTHON" scripts/build_docs.py "$folder"
echo "$folder/index.html"
