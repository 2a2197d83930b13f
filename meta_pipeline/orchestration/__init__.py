"""Everything that knows Dagster, thin: resources, assets, checks, gate, jobs, sensors, schedules, metadata."""
