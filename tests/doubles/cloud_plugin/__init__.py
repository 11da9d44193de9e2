"""What the stand-ins for the clouds' provider plugins share: the engine's protocol, and checks by the real SDKs."""
