"""A good document that uses everything this version has, for tests to spoil and to compare."""

GOOD = """\
ayatori: 1

tunnel_zones:
  dc:
    type: vxlan
    members: {h1: 198.18.0.1, h2: 198.18.0.2}

bridges:
  web:
    admin_up: false
    ports:
      vm1: {host: h1, interface: vm1}
      vm2: {host: h2, interface: vm2, admin_up: false}
      spare: {}
      gw: {peer: edge/web}
  db:
    ports:
      gw: {}
      vm3: {host: h1, interface: vm3}

routers:
  edge:
    ports:
      web: {address: 10.0.1.1/24, mac: "02:00:00:00:01:01"}
      db: {address: 10.0.2.1/24, peer: db/gw}
      up1: {address: 203.0.113.2/30, host: h1, interface: up1}
    routes:
      - {to: 0.0.0.0/0, via: 203.0.113.1, weight: 10}
      - {to: 10.8.0.0/16, port: db}
      - {from: 10.0.1.0/24, to: 10.9.0.0/16, action: blackhole}

port_groups:
  uplinks: {stateful: true, ports: [edge/up1]}

lab:
  mtu: 1600
  machines:
    vm1: {port: web/vm1, address: 10.0.1.11/24, gateway: 10.0.1.1, mac: "02:00:00:00:00:01"}
    vm2:
      port: web/vm2
      address: [10.0.1.12/24, "2001:db8::12/64"]
      routes: [{to: 10.7.0.0/16, via: 10.0.1.1}]
    isp: {port: edge/up1, address: 203.0.113.1/30}
"""
