#!/bin/sh
# Makes the certificates for TLS between nodes: an authority of the cluster's own, and one certificate per node that names it.
#
#   certificates.sh FOLDER NODE...        for example: certificates.sh certificates n1 n2 n3
#
# FOLDER gets ca.pem and ca.key once, and NODE.pem and NODE.key for each node that has none yet; what is there stays. Each node needs
# ca.pem and its own two files. ca.key makes nodes: keep it off them. DAYS (default 825) is how long certificates are valid.
# NODE is the id in `cluster.node_id`; it is what others check the certificate for, addresses do not matter. For CQL servers it is different: they are
# checked for their addresses, so NODE is an IPv4 address there.
set -eu

if [ $# -lt 2 ]; then
    echo "usage: certificates.sh FOLDER NODE..." >&2
    exit 2
fi
folder=$1
shift
days=${DAYS:-825}
umask 077
mkdir -p "$folder"

if [ ! -e "$folder/ca.key" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days "$((days * 4))" \
        -subj "/CN=colloquy cluster authority" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout "$folder/ca.key" -out "$folder/ca.pem" 2>/dev/null
    echo "$folder/ca.pem: the cluster's authority"
fi

# A name of digits and dots is an address.
kind_of() {
    case $1 in
        *[!0-9.]*) echo DNS ;;
        *.*.*.*) echo IP ;;
        *) echo DNS ;;
    esac
}

for node in "$@"; do
    case $node in
        "" | *[!A-Za-z0-9.-]*)
            echo "\"$node\" cannot be the name of a node: letters, digits, dots and hyphens" >&2
            exit 2
            ;;
    esac
    if [ -e "$folder/$node.pem" ]; then
        echo "$folder/$node.pem: is there already"
        continue
    fi
    request=$(mktemp)
    extensions=$(mktemp)
    printf '%s\n' "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature" \
        "extendedKeyUsage=serverAuth,clientAuth" "subjectAltName=$(kind_of "$node"):$node" >"$extensions"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -subj "/CN=$node" \
        -keyout "$folder/$node.key" -out "$request" 2>/dev/null
    openssl x509 -req -in "$request" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
        -days "$days" -sha256 -extfile "$extensions" -out "$folder/$node.pem" 2>/dev/null
    rm -f "$request" "$extensions"
    echo "$folder/$node.pem: for node $node"
done
