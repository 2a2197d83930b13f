"""Evidence -> the report a researcher reads: data health, what works, what does not, why nothing is proposed."""
