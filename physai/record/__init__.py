"""What is kept: episodes, the ledger, signatures, permits, video and datasets."""
