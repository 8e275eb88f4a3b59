"""CloudWatch metric alarms: their evaluation on closed periods and what a transition sets off."""
