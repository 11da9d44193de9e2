"""`fortress record`: the record of processing activities, for a data protection officer to sign."""
