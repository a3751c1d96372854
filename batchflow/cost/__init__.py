"""What requests weigh in tokens, and what they cost."""
