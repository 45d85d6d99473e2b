"""The engine: the facade in process. Permission, then the job lock of the guest, then the use case."""
