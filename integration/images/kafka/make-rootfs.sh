#!/usr/bin/env bash
# make-rootfs.sh OUT.tar JAVA_HOME: the image's system layer, taken from this machine: a small Java
# runtime (jlink), a shell with the few commands our scripts use, and the shared libraries of all these.
set -euo pipefail
out=$1 java_home=$2
root=$(mktemp -d); trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,usr/bin,etc,tmp,var/tmp,root,proc,sys,dev,opt}
chmod 1777 "$root/tmp" "$root/var/tmp"

# java.desktop looks odd here: Jackson and log4j want java.beans.
modules=java.base,java.desktop,java.instrument,java.logging,java.management,java.naming,java.net.http
modules+=,java.scripting,java.security.jgss,java.security.sasl,java.sql,java.xml,jdk.crypto.ec
modules+=,jdk.management,jdk.security.auth,jdk.security.jgss,jdk.unsupported,jdk.zipfs
"$java_home/bin/jlink" --add-modules "$modules" --output "$root/opt/java" \
  --no-header-files --no-man-pages --strip-java-debug-attributes --compress=0

for command in bash cat chmod cp env grep ls mkdir rm sleep tail; do
  cp -L "$(type -P "$command")" "$root/usr/bin/$command"
done
for command in bash env; do ln -s "../usr/bin/$command" "$root/bin/$command"; done
ln -s bash "$root/usr/bin/sh"; ln -s ../usr/bin/bash "$root/bin/sh"

libraries() {
  local file
  for file in "$root"/usr/bin/* "$root"/opt/java/bin/* "$root"/opt/java/lib/{,server/}*.so; do
    # Java's window and sound libraries would bring X11 in; a server never loads them.
    case ${file##*/} in *awt*|*fontmanager*|*jsound*|*splashscreen*|*lcms*|*javajpeg*|*mlib*) continue ;; esac
    LD_LIBRARY_PATH="$root/opt/java/lib:$root/opt/java/lib/server" ldd "$file" 2>/dev/null || true
  done | awk -v root="$root" '{ for (i = 1; i <= NF; i++) if ($i ~ /^\// && index($i, root) != 1) print $i }'
  # Loaded by name while running, so ldd does not list them (pthread: by the zstd library).
  ldconfig -p | awk '$1 ~ /^lib(nss_files|nss_dns|resolv|gcc_s|pthread)\.so/ { print $NF }'
}
libraries | sort -u | while read -r library; do
  [ -e "$library" ] && install -D -m755 "$(readlink -f "$library")" "$root$library"
done

echo 'root:x:0:0:root:/root:/bin/bash' > "$root/etc/passwd"
echo 'root:x:0:' > "$root/etc/group"
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
tar --sort=name --mtime=@1700000000 --numeric-owner --owner=0 --group=0 -C "$root" -cf "$out" .
