"""Schedules and events: EventBridge's rules and EventBridge Scheduler.

``ticks`` decides what is due (pure), ``clockwork`` waits and fires, ``rules`` and ``scheduler`` know what a rule or
schedule fires, ``targets`` where it goes, ``deliveries`` takes it beyond this engine; ``host`` puts them together.
"""
