#!/usr/bin/env bash
# Makes the root file system of a small image out of Debian packages that are installed here, so that an image can be
# built where none can be pulled, and without a network. Writes a tar archive for `docker import` to standard output.
#
#   tests/packaging/rootfs.sh base-files coreutils dash | docker import - some-base
#
# What it holds: the files of the packages named, without documentation, and the shared libraries that their programs
# load. Nothing is configured; there are no users but root and nobody.

set -euo pipefail

(($# > 0)) || { echo "rootfs.sh: name some packages" >&2; exit 2; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{dev,etc,proc,root,run,sys,tmp,var}
chmod 1777 "$root/tmp"
# As Debian has it since merging /usr: the short paths are links.
for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done

dpkg -L "$@" | grep -vE '^/usr/share/(doc|info|lintian|locale|man)/' | while IFS= read -r path; do
  if [[ -f $path || -L $path ]] && [[ ! -d $path ]]; then echo "$path"; fi
done | sort -u >"$root/.paths"
# The libraries, and theirs: ldd follows them all the way down. It fails on what is no program, and that is fine.
{ grep -E '^(/usr)?/(s?bin)/' "$root/.paths" || true; } | while IFS= read -r path; do ldd "$path" 2>/dev/null || true; done |
  grep -oE '/[^ ]+\.so[^ ]*' | sort -u >"$root/.libraries"
# `--parents` writes through the links made above; a library is copied under the name that it is asked for by.
tar --create --file - --directory / --dereference --hard-dereference --files-from <(
  sed "s#^/##" "$root/.libraries"
) | tar --extract --keep-directory-symlink --directory "$root"
tar --create --file - --directory / --files-from <(sed 's#^/##' "$root/.paths") |
  tar --extract --keep-directory-symlink --directory "$root"
rm "$root/.paths" "$root/.libraries"

# Debian chooses this one at installation.
if [[ -e $root/usr/bin/mawk ]]; then ln -sf mawk "$root/usr/bin/awk"; fi
echo 'root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin' >"$root/etc/passwd"
echo 'root:x:0:
nogroup:x:65534:' >"$root/etc/group"

tar --create --file - --directory "$root" --numeric-owner .
