# The servers of faults.toml as six nginx, their names in an unbound, and a filter in which packets
# may get lost, for a shell that has a network of its own: docs/operate.md *Faults, tried out*.

shop=$(mktemp -d)
ip link set lo up
nft add table inet faults
nft add chain inet faults input '{ type filter hook input priority 0; }'

# server NAME ADDRESS: an nginx. It answers with its address, at /orders to a POST as well; with a
# file `half` in its folder half of its other answers are 503, with a file `slow` it gives five of them a
# second.
server() {
  mkdir -p "$shop/$1"
  echo "$2" > "$shop/$1/index.html"
  cat > "$shop/$1/nginx.conf" <<END
daemon off;
master_process off;
pid nginx.pid;
events {}
http {
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path client; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  split_clients \$request_id \$half { 50% 1; * 0; }
  limit_req_zone \$slow zone=slow:1m rate=5r/s;
  server {
    listen $2:80;
    root $shop/$1;
    add_header Cache-Control no-store always;
    location = /health { return 200 ready; }
    location = /orders { return 200 "$2\n"; }
    location / {
      set \$bad \$half;
      if (!-f \$document_root/half) { set \$bad 0; }
      if (\$bad) { return 503; }
      set \$slow "";
      if (-f \$document_root/slow) { set \$slow yes; }
      limit_req zone=slow burst=1000;
      rewrite ^ /index.html break;
    }
  }
}
END
  nginx -p "$shop/$1" -e stderr -c nginx.conf &
  echo $! > "$shop/$1/pid"
}

# send SIGNAL NAME
send() { kill "-$1" "$(cat "$shop/$2/pid")"; }

# name NAME ADDRESS: where a name leads from now on, for a second at a time.
name() {
  unbound-control -q -c "$shop/unbound.conf" local_data_remove "$1.shop.test"
  unbound-control -q -c "$shop/unbound.conf" local_data "$1.shop.test. 1 IN A $2"
}

cat > "$shop/unbound.conf" <<END
server:
  directory: "$shop"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  num-threads: 1
  interface: 127.0.0.1
  port: 5300
  access-control: 127.0.0.0/8 allow
  local-zone: "test." nodefault
  local-zone: "shop.test." static
  local-data: "db-1.fra.shop.test. 1 IN A 127.0.1.10"
  local-data: "ro-1.fra.shop.test. 1 IN A 127.0.1.1"
  local-data: "ro-2.fra.shop.test. 1 IN A 127.0.1.2"
  local-data: "ro-3.fra.shop.test. 1 IN A 127.0.1.3"
  local-data: "db-2.ams.shop.test. 1 IN A 127.0.2.10"
  local-data: "ro-1.ams.shop.test. 1 IN A 127.0.2.1"
remote-control:
  control-enable: yes
  control-interface: "$shop/control"
  control-use-cert: no
END
unbound -d -p -c "$shop/unbound.conf" &

server db-1.fra 127.0.1.10
server ro-1.fra 127.0.1.1
server ro-2.fra 127.0.1.2
server ro-3.fra 127.0.1.3
server db-2.ams 127.0.2.10
server ro-1.ams 127.0.2.1
