"""The commands of the command line: a module for each subject, with the words of their options and what they share."""
