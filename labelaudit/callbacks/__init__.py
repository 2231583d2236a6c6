"""A Recorder inside other people's training loops: Lightning, Hugging Face, skorch, Keras.

Each module imports its framework, and nothing else imports the module.
"""
