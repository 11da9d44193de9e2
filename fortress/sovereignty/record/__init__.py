"""The record of processing activities (Article 30 GDPR) and the flows of data, from the register and the state."""
