#!/usr/bin/env bash
# Makes a small Debian in a folder, for what is to be booted.
#
#   scripts/debian-tree.sh TREE PACKAGE,PACKAGE…      needs root (debootstrap)
set -euo pipefail

tree=$1 packages=$2
# The release that this machine runs, so that what was built here runs there; from where this machine gets its own.
release=$(. /etc/os-release; echo "${VERSION_CODENAME:-bookworm}")
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $release" 2>/dev/null | head -n1)
echo "making a Debian $release in $tree (once)"
rm -rf "$tree"
mkdir -p "$(dirname "$tree")"
debootstrap --variant=minbase --include="$packages" "$release" "$tree" ${mirror:+"$mirror"} >"$tree.log" 2>&1 ||
    { tail -n5 "$tree.log" >&2; rm -rf "$tree"; echo "debian-tree: debootstrap failed; $tree.log says more" >&2; exit 1; }
