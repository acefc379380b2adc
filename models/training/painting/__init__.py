"""What a code gives away: pictures painted from it, as who overhears it would."""
