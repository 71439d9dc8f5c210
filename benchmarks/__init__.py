"""Speed of purejaxrl_suite: alone (`throughput`) and against its peers (`peers`)."""
