"""The bandwidth/accuracy report: what splitting gains and costs, measured through both sides."""
