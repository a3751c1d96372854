"""What came back: provider lines to outcomes, and the account that nothing is lost or counted twice."""
