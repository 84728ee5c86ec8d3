"""Those who are measured: one file each, all behind `contestants.base.Contestant`."""
