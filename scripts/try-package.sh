#!/usr/bin/env bash
# Tries a Debian package on this machine, as root: installs it, changes a setting, upgrades, removes, purges, and looks each time at what is there.
# What it cannot put back it does not touch: a machine that has evenkeel, or files of it, is left alone.   try-package.sh FILE.deb
set -euo pipefail

deb=$(realpath "${1:?which package? try-package.sh target/debian/evenkeel_....deb}")
etc=/etc/evenkeel state=/var/lib/evenkeel
fail() { echo "FAILED: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || { echo "only root may install packages: sudo $0 $1" >&2; exit 1; }
for path in "$etc" "$state" /usr/bin/evenkeel; do
    [ ! -e "$path" ] || { echo "$path is there already: this machine is left alone" >&2; exit 1; }
done

work=$(mktemp -d)
tidy() {
    dpkg --purge evenkeel >/dev/null 2>&1 || true
    rm -rf "$work" "$etc" "$state"
}
trap tidy EXIT

# The same package with a later version.
dpkg-deb --raw-extract "$deb" "$work/next"
sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control"
dpkg-deb --root-owner-group --build "$work/next" "$work/next.deb" >/dev/null

echo "== install"
dpkg --install "$deb" >/dev/null
version=$(dpkg-query --show --showformat '${Version}' evenkeel)
[ "$(/usr/bin/evenkeel --version)" = "evenkeel ${version%-*}" ] || fail "the program is not the package's"
[ -d "$etc/desired" ] || fail "no directory for the desired state"
[ -f /usr/lib/systemd/system/evenkeel.service ] || fail "no unit"
/usr/bin/evenkeel validate "$etc/desired" || fail "the empty desired state is not accepted"
# Outside of evenkeel's own hands, as a person and a daemon would leave it.
printf '[services.web]\nimage = "web:1"\n' > "$etc/desired/web.toml"
echo 'instance = "kept"' >> "$etc/evenkeel.toml.new"
cat "$etc/evenkeel.toml" >> "$etc/evenkeel.toml.new"
mv "$etc/evenkeel.toml.new" "$etc/evenkeel.toml"
install -d -m 700 "$state"
echo memory > "$state/state.db"

echo "== upgrade"
dpkg --install "$work/next.deb" >/dev/null </dev/null
dpkg-query --show --showformat '${Version}' evenkeel | grep -q '+next$' || fail "it is not the later version"
head -1 "$etc/evenkeel.toml" | grep -q kept || fail "the settings were lost"
[ "$(cat "$state/state.db")" = memory ] || fail "the memory was lost"
[ -f "$etc/desired/web.toml" ] || fail "the desired state was lost"

echo "== remove"
dpkg --remove evenkeel >/dev/null
[ ! -e /usr/bin/evenkeel ] && [ ! -e /usr/lib/systemd/system/evenkeel.service ] || fail "the program or its unit is still there"
head -1 "$etc/evenkeel.toml" | grep -q kept || fail "removing took the settings"
[ -f "$etc/desired/web.toml" ] && [ "$(cat "$state/state.db")" = memory ] || fail "removing took what is not the package's"

echo "== purge"
dpkg --purge evenkeel >/dev/null
[ ! -e "$etc/evenkeel.toml" ] || fail "the settings are still there"
[ -f "$etc/desired/web.toml" ] && [ "$(cat "$state/state.db")" = memory ] || fail "purging took what is not the package's"
left=$(find /etc /usr /var /lib -xdev \( -name 'evenkeel*' -o -name '_evenkeel' \) 2>/dev/null | grep -v -e "^$etc" -e "^$state" || true)
[ -z "$left" ] || fail "left behind: $left"

echo "== install and purge with nothing in between"
rm -rf "$etc" "$state"
dpkg --install "$deb" >/dev/null
dpkg --purge evenkeel >/dev/null
[ ! -e "$etc" ] || fail "$etc is still there"
echo "installed, upgraded, removed and purged: only what people and the daemon wrote is left each time"
