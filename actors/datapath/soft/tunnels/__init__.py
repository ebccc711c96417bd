"""The soft datapath's tunnel ports: VXLAN and Geneve over UDP, GRE over IP; IPv4 outside."""
