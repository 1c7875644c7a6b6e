// Not for GPUs of this age.
