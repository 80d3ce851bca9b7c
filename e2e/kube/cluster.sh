#!/bin/bash
# A real Kubernetes on one machine: a control plane and nodes, each in a network namespace without a way out.
#
#   cluster.sh up [NODES]        start it (ends a former one first)
#   cluster.sh down              end it and remove everything it left: processes, mounts, namespaces, volumes
#   cluster.sh import FILE...    give the image archives to every node
#   cluster.sh cut N | heal N    take node N off the network, and put it back
#   cluster.sh crash N | boot N  end everything on node N at once as a power cut does, and start it again
#
# KUBE_HOME is the folder that `cargo xtask kube build` filled: bin/ and images/. All state is in $KUBE_HOME/run.
# Every process is found by its cgroup and ended by its id, so that an aborted run is cleaned up like a good one.
#
#   netns lk-cp   control plane, 10.91.0.1, with the bridge lk-br
#   netns lk-nN   node nN, 10.91.0.(10+N), its pods 10.246.N.0/24
#   root netns    10.91.0.254: tests reach node ports and the API server from here
#   services      10.97.0.0/16
set -euo pipefail

: "${KUBE_HOME:?is not set: it is the folder with bin/ and images/ that 'cargo xtask kube build' fills}"
SOURCES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BIN=$KUBE_HOME/bin
RUN=$KUBE_HOME/run
PKI=$RUN/pki
LOGS=$RUN/logs
SOCKETS=/run/logspine-kube
CGROUPS=/sys/fs/cgroup
CGROUP=logspine-kube
CONTROL_IP=10.91.0.1
HOST_IP=10.91.0.254
NODES_MAX=9
export KUBECONFIG=$PKI/admin.kubeconfig
export PATH=$BIN:$PATH

node_ip() { echo "10.91.0.$((10 + $1))"; }

# ---- waiting -------------------------------------------------------------------------------------------------

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      echo "gave up waiting for: $*" >&2
      return 1
    fi
    sleep 0.2
  done
}

# ---- cgroups -------------------------------------------------------------------------------------------------

# Version 2 has one tree, version 1 one per controller.
is_cgroup_v2() { [ -f $CGROUPS/cgroup.controllers ]; }

process_tree() { if is_cgroup_v2; then echo $CGROUPS; else echo $CGROUPS/pids; fi; }

make_cgroup() {
  local name=$1 controller
  if is_cgroup_v2; then
    mkdir -p "$CGROUPS/$CGROUP/$name"
    for controller in cpu cpuset memory pids io; do
      echo "+$controller" >$CGROUPS/cgroup.subtree_control 2>/dev/null || true
      echo "+$controller" >$CGROUPS/$CGROUP/cgroup.subtree_control 2>/dev/null || true
    done
    return
  fi
  for controller in cpu cpuacct cpuset memory pids blkio devices freezer systemd; do
    [ -d $CGROUPS/$controller ] || continue
    mkdir -p "$CGROUPS/$controller/$CGROUP/$name"
    if [ $controller = cpuset ]; then
      for file in cpuset.cpus cpuset.mems; do
        cat $CGROUPS/cpuset/$file >$CGROUPS/cpuset/$CGROUP/$file
        cat $CGROUPS/cpuset/$file >"$CGROUPS/cpuset/$CGROUP/$name/$file"
      done
    fi
  done
}

# Ends every process in these cgroups and the ones below, each by its id.
end_cgroups() {
  local name file id round tree
  tree=$(process_tree)
  for round in 1 2 3 4 5; do
    local found=
    for name in "$@"; do
      for file in $(find "$tree/$CGROUP/$name" -name cgroup.procs 2>/dev/null); do
        for id in $(cat "$file" 2>/dev/null); do
          found=yes
          kill -KILL "$id" 2>/dev/null || true
        done
      done
    done
    [ -n "$found" ] || return 0
    sleep 0.2
  done
}

# background NAME CGROUP NETNS COMMAND...: a daemon with a log, in a cgroup by which it is found again.
background() {
  local name=$1 cgroup=$2 netns=$3 procs
  shift 3
  make_cgroup "$cgroup"
  procs=$(process_tree)/$CGROUP/$cgroup/cgroup.procs
  # shellcheck disable=SC2016 # the inner shell expands these
  setsid nohup bash -c 'echo $$ >"$0" && exec nsenter --net="$1" "${@:2}"' "$procs" /run/netns/"$netns" "$@" \
    >"$LOGS/$name.log" 2>&1 </dev/null &
}

# ---- network -------------------------------------------------------------------------------------------------

control_network() {
  ip netns add lk-cp
  ip -n lk-cp link set lo up
  ip -n lk-cp link add lk-br type bridge
  ip -n lk-cp addr add $CONTROL_IP/24 dev lk-br
  ip -n lk-cp link set lk-br up
  ip link add lk-host type veth peer name to-host netns lk-cp
  ip -n lk-cp link set to-host master lk-br up
  ip addr add $HOST_IP/24 dev lk-host
  ip link set lk-host up
  # Service addresses from the control plane and from the tests: through the first node's kube-proxy.
  ip -n lk-cp route add 10.97.0.0/16 via "$(node_ip 1)"
  local peer
  for peer in $(seq $NODES_MAX); do ip -n lk-cp route add "10.246.$peer.0/24" via "$(node_ip "$peer")"; done
}

node_network() {
  local n=$1 peer
  ip netns add "lk-n$n"
  ip -n "lk-n$n" link set lo up
  ip link add "to-n$n" netns lk-cp type veth peer name eth0 netns "lk-n$n"
  ip -n lk-cp link set "to-n$n" master lk-br up
  ip -n "lk-n$n" addr add "$(node_ip "$n")/24" dev eth0
  ip -n "lk-n$n" link set eth0 up
  nsenter --net="/run/netns/lk-n$n" sysctl -qw net.ipv4.ip_forward=1
  nsenter --net="/run/netns/lk-n$n" sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null || true
  for peer in $(seq $NODES_MAX); do
    [ "$n" = "$peer" ] || ip -n "lk-n$n" route add "10.246.$peer.0/24" via "$(node_ip "$peer")"
  done
}

cut() { ip -n lk-cp link set "to-n$1" down; }
heal() { ip -n lk-cp link set "to-n$1" up; }

# ---- certificates --------------------------------------------------------------------------------------------

authority() {
  local name=$1 common_name=$2
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=$common_name" \
    -keyout "$name.key" -out "$name.crt" -addext basicConstraints=critical,CA:TRUE \
    -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature 2>/dev/null
}

# certificate NAME SUBJECT USAGE [ALTERNATIVE NAMES [AUTHORITY]]
certificate() {
  local name=$1 subject=$2 usage=$3 alternatives=${4:-} issuer=${5:-ca}
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$subject" \
    -keyout "$name.key" -out "$name.csr" 2>/dev/null
  {
    echo basicConstraints=CA:FALSE
    echo keyUsage=critical,digitalSignature
    echo "extendedKeyUsage=$usage"
    [ -z "$alternatives" ] || echo "subjectAltName=$alternatives"
  } >"$name.ext"
  openssl x509 -req -in "$name.csr" -CA "$issuer.crt" -CAkey "$issuer.key" -CAcreateserial -days 3650 \
    -extfile "$name.ext" -out "$name.crt" 2>/dev/null
  rm "$name.csr" "$name.ext"
}

kubeconfig() {
  local name=$1
  local config="kubectl --kubeconfig=$name.kubeconfig config"
  {
    $config set-cluster logspine --server=https://$CONTROL_IP:6443 --certificate-authority=ca.crt --embed-certs
    $config set-credentials "$name" --client-certificate="$name.crt" --client-key="$name.key" --embed-certs
    $config set-context logspine --cluster=logspine --user="$name"
    $config use-context logspine
  } >/dev/null
}

certificates() {
  local nodes=$1 n component service=kubernetes.default.svc
  mkdir -p "$PKI"
  cd "$PKI"
  authority ca logspine-test-ca
  authority front-proxy-ca logspine-test-front-proxy-ca
  certificate apiserver /CN=kube-apiserver serverAuth "IP:$CONTROL_IP,IP:127.0.0.1,IP:10.97.0.1,DNS:localhost,\
DNS:kubernetes,DNS:kubernetes.default,DNS:$service,DNS:$service.cluster.local"
  certificate apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
  certificate front-proxy-client /CN=front-proxy-client clientAuth "" front-proxy-ca
  certificate admin /O=system:masters/CN=admin clientAuth
  kubeconfig admin
  for component in kube-controller-manager kube-scheduler kube-proxy; do
    certificate $component /CN=system:$component clientAuth
    kubeconfig $component
  done
  for n in $(seq "$nodes"); do
    certificate "n$n" "/O=system:nodes/CN=system:node:n$n" clientAuth,serverAuth "IP:$(node_ip "$n"),DNS:n$n"
    kubeconfig "n$n"
  done
  openssl ecparam -genkey -name prime256v1 -noout -out sa.key
  openssl ec -in sa.key -pubout -out sa.pub 2>/dev/null
  chmod 600 ./*.key ./*.kubeconfig
  cd "$SOURCES"
}

# ---- control plane -------------------------------------------------------------------------------------------

component() { background "$1" control lk-cp "$BIN/kube" "$@"; }

api_server() {
  component kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=6443 \
    --advertise-address=$CONTROL_IP --service-cluster-ip-range=10.97.0.0/16 --allow-privileged=true \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --client-ca-file="$PKI/ca.crt" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --kubelet-client-certificate="$PKI/apiserver-kubelet.crt" \
    --kubelet-client-key="$PKI/apiserver-kubelet.key" --kubelet-certificate-authority="$PKI/ca.crt" \
    --kubelet-preferred-address-types=InternalIP --enable-aggregator-routing=true \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" \
    --requestheader-allowed-names=front-proxy-client --requestheader-username-headers=X-Remote-User \
    --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$PKI/front-proxy-client.crt" \
    --proxy-client-key-file="$PKI/front-proxy-client.key" \
    --audit-policy-file="$SOURCES/audit-policy.yaml" --audit-log-path="$RUN/audit.log" --audit-log-maxsize=500
}

# with_own_config COMPONENT FLAGS...: the flags that controller manager and scheduler share.
with_own_config() {
  local name=$1 config=$PKI/$1.kubeconfig
  component "$@" --kubeconfig="$config" --authentication-kubeconfig="$config" \
    --authorization-kubeconfig="$config" --bind-address=127.0.0.1 --leader-elect=false
}

control_plane() {
  component etcd "$RUN/etcd" http://127.0.0.1:2379
  api_server
  wait_for 60 kubectl get --raw /readyz
  with_own_config kube-controller-manager --service-account-private-key-file="$PKI/sa.key" \
    --root-ca-file="$PKI/ca.crt" --cluster-signing-cert-file="$PKI/ca.crt" \
    --cluster-signing-key-file="$PKI/ca.key" --use-service-account-credentials=true \
    --node-monitor-grace-period=20s --node-monitor-period=2s --cluster-cidr=10.246.0.0/16
  with_own_config kube-scheduler
  fill "$SOURCES/Corefile" "$RUN/Corefile"
  background coredns control lk-cp "$BIN/coredns" -conf "$RUN/Corefile"
  component provisioner "$RUN/volumes" "$KUBECONFIG"
  kubectl apply -f "$SOURCES/storage-class.yaml" >/dev/null
  wait_for 60 kubectl get serviceaccount default # pods are refused until it exists
}

# ---- nodes ---------------------------------------------------------------------------------------------------

# fill TEMPLATE FILE [NODE NUMBER]: replaces every @NAME@.
fill() {
  local n=${3:-0}
  sed -e "s#@PKI@#$PKI#g" -e "s#@CONTROL_IP@#$CONTROL_IP#g" -e "s#@NODE@#n$n#g" -e "s#@NODE_DIR@#$RUN/nodes/n$n#g" \
    -e "s#@RUN_DIR@#$SOCKETS/n$n#g" -e "s#@POD_SUBNET@#10.246.$n.0/24#g" -e "s#@CGROUP@#$CGROUP/n$n#g" "$1" >"$2"
}

boot() {
  local n=$1 dir=$RUN/nodes/n$1 archive
  mkdir -p "$dir"/{cni,ipam,kubelet,podlogs,volplugins} "$SOCKETS/n$n"
  : >"$dir/resolv.conf"
  make_cgroup "n$n"
  fill "$SOURCES/node/containerd.toml" "$dir/containerd.toml" "$n"
  fill "$SOURCES/node/bridge.conflist" "$dir/cni/10-bridge.conflist" "$n"
  fill "$SOURCES/node/kubelet.yaml" "$dir/kubelet.yaml" "$n"
  fill "$SOURCES/node/kube-proxy.yaml" "$dir/kube-proxy.yaml" "$n"
  background "containerd-n$n" "system-n$n" "lk-n$n" containerd --config "$dir/containerd.toml"
  wait_for 30 ctr --address "$SOCKETS/n$n/containerd.sock" version
  for archive in "$KUBE_HOME"/images/*.tar; do import_into "$n" "$archive"; done
  background "kubelet-n$n" "system-n$n" "lk-n$n" "$BIN/kube" kubelet --config="$dir/kubelet.yaml" \
    --kubeconfig="$PKI/n$n.kubeconfig" --hostname-override="n$n" --node-ip="$(node_ip "$n")" \
    --root-dir="$dir/kubelet" --cert-dir="$dir/kubelet/pki" \
    --node-labels="topology.kubernetes.io/zone=z$n,topology.kubernetes.io/region=r1"
  background "kube-proxy-n$n" "system-n$n" "lk-n$n" "$BIN/kube" kube-proxy --config="$dir/kube-proxy.yaml"
}

import_into() { ctr --address "$SOCKETS/n$1/containerd.sock" --namespace k8s.io images import "$2" >/dev/null; }

import() {
  local archive dir
  for dir in "$SOCKETS"/n*; do
    for archive in "$@"; do import_into "${dir##*/n}" "$archive"; done
  done
}

# The disk stays; everything that runs on the node ends at once: kubelet, kube-proxy, containerd, shims, pods.
crash() { end_cgroups "system-n$1" "n$1"; }

# ---- the whole -----------------------------------------------------------------------------------------------

up() {
  local nodes=${1:-1} n
  down
  mkdir -p "$RUN" "$LOGS"
  # The kubelet changes these for the whole machine; down puts them back.
  sysctl --ignore vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops 2>/dev/null |
    sed 's/ = /=/' >"$RUN/sysctls"
  certificates "$nodes"
  control_network
  for n in $(seq "$nodes"); do node_network "$n"; done
  control_plane
  for n in $(seq "$nodes"); do boot "$n"; done
  for n in $(seq "$nodes"); do wait_for 90 kubectl wait --for=condition=Ready "node/n$n" --timeout=30s; done
  echo "$KUBECONFIG"
}

down() {
  local n mount netns dir
  end_cgroups control
  for n in $(seq $NODES_MAX); do
    crash "$n"
    for mount in $(mounts_below "$SOCKETS/n$n/" "$RUN/nodes/n$n/"); do umount -l "$mount" || true; done
    [ -e "/run/netns/lk-n$n" ] || continue
    for netns in $(nsenter --net="/run/netns/lk-n$n" ip -o link show type veth 2>/dev/null | grep -o 'cni-[0-9a-f-]*'); do
      ip netns del "$netns" 2>/dev/null || true
    done
    ip netns del "lk-n$n"
  done
  [ ! -e /run/netns/lk-cp ] || ip netns del lk-cp
  ip link del lk-host 2>/dev/null || true
  for dir in $(find $CGROUPS -depth -type d -path "*/$CGROUP*" 2>/dev/null); do rmdir "$dir" 2>/dev/null || true; done
  if [ -f "$RUN/sysctls" ]; then xargs -r -a "$RUN/sysctls" sysctl -qw || true; fi
  rm -rf "$SOCKETS" "$RUN"
}

# Mount points under these folders, the deepest first.
mounts_below() {
  awk -v a="$1" -v b="$2" 'index($5, a) == 1 || index($5, b) == 1 { print $5 }' /proc/self/mountinfo | sort -r
}

case ${1:-} in
  up | down | import | cut | heal | crash | boot) "$@" ;;
  *)
    sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
