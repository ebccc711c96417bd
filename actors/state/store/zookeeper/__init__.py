"""The ZooKeeper store: one topology over many hosts (docs/decisions/0006-zookeeper-store.md)."""
