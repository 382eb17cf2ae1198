"""What a change upstream would have done: the last days folded twice, as they were and with it."""
