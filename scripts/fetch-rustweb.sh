#!/bin/sh
# Unpacks Debian's Rust compiler for the web into a folder, installing nothing: fetch-rustweb.sh FOLDER
#
# The packages conflict with an installed rustc, and would put their cargo before it; unpacked they disturb nobody.
set -eu

folder=$1
packages="rustc-web rust-web-src cargo-web libstd-rust-web-1.96 libstd-rust-web-dev libllvm22 lld-22
    libgit2-1.5 libhttp-parser2.9 libmbedtls14 libmbedcrypto7 libmbedx509-1 libssh2-1"

if [ -x "$folder/usr/bin/rustc" ] && [ -x "$folder/usr/bin/cargo" ]; then
    exit 0
fi
rm -rf "$folder.new"
mkdir -p "$folder.new/packages"
cd "$folder.new/packages"
# apt drops its privileges to a user who may not write here; downloading as oneself needs no sandbox.
# shellcheck disable=SC2086
apt-get -o APT::Sandbox::User=root download $packages
for file in *.deb; do
    dpkg -x "$file" "$folder.new"
done
rm -r "$folder.new/packages"
rm -rf "$folder"
mv "$folder.new" "$folder"
