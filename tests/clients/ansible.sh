#!/usr/bin/env bash
# Ansible's modules. They take no other address than the provider's, so a proxy on loopback ends TLS for that host.
#   ansible.sh FOLDER-OF-PROGRAMS
set -euo pipefail
programs=$1
here=$(cd "$(dirname "$0")" && pwd)
host=api.scaleway.com
work=$(mktemp --directory)
proxy=
trap 'kill $proxy 2>/dev/null || true; rm -rf "$work"' EXIT

openssl req -x509 -newkey rsa:2048 -noenc -days 2 -keyout "$work/key.pem" -out "$work/certificate.pem" -subj "/CN=$host" \
    -addext "subjectAltName=DNS:$host" -addext "keyUsage=critical,digitalSignature,keyCertSign" 2>/dev/null
address=${API#http://}
"$programs/python" "$here/tls_proxy.py" "$host" "$work/certificate.pem" "$work/key.pem" "${address%:*}" "${address##*:}" >"$work/port" &
proxy=$!
until [ -s "$work/port" ]; do
    kill -0 "$proxy"
    sleep 0.05
done
PROXY=http://127.0.0.1:$(cat "$work/port") CERTIFICATE=$work/certificate.pem WORK=$work
export PROXY CERTIFICATE WORK
head --bytes 3145728 /dev/urandom >"$work/image"

export LC_ALL=C.UTF-8 ANSIBLE_HOME=$work/home ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=False
status=0
"$programs/ansible-playbook" --inventory localhost, "$here/ansible.yml" \
    --extra-vars "ansible_connection=local ansible_python_interpreter=$programs/python" >"$work/log" 2>&1 || status=$?
grep -o '"msg": "ok [^"]*"' "$work/log" | sed 's/^"msg": "//; s/"$//' || true
if [ "$status" != 0 ]; then
    cat "$work/log" >&2
    # A block's name is not told, so the step that does not hold is named by the one before it.
    echo "not ok the step after: $(grep -o '"msg": "ok [^"]*"' "$work/log" | tail -n 1 | sed 's/^"msg": "ok //; s/"$//')"
fi
exit "$status"
