"""Amazon EventBridge: buses, rules, targets, events."""
